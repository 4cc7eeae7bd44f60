"""What the web frontend of SEIDRA Ultimate calls and no other part of the API answers, over the
features' own rules. `SEIDRA_FRONTEND_ROUTES=off` leaves it out; docs/frontend.md has the table."""
