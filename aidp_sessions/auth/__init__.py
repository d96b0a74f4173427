"""Authentication: keys, signatures, tokens and configuration."""
