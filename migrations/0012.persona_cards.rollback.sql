DROP VIEW persona_cards;
