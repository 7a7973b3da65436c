"""Who may do what: API keys, tokens of an OpenID Connect issuer, and the audit log."""
