"""Who we are: signatures, signers, and the settings they are made from."""
