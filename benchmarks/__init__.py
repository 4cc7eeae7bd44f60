"""How fast SEIDRA is, beside a bare Flask route and a plain FastAPI + SQLAlchemy service: `make
bench`.

`__main__` says what is measured and which figures come out of it; `texts` and `data` make the
database, `servers` starts what is measured, `load` puts load on it, `inprocess` times the steps of
a request without HTTP. The peers are in `peers/`. Directus and soul-cli, which npm serves, are not
measured: they are another kind of thing (a CMS, a bare table server), and what they would install
weighs more than all the rest here.
"""
