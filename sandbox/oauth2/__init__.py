"""OAuth2 as Discord does it: clients, codes, tokens, and the consent that a test scripts. Pure."""
