"""What a runtime does in a store that other processes share: owners, leases, requests of others."""
