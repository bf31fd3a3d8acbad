"""What several test files share: small models, labelled batches, processes, oracles."""
