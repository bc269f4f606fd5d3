"""The contract of model plugins over their wire, with a server that plays the provider on loopback."""
