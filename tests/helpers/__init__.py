"""Code that several test files share: small models, labelled batches, processes, reference implementations."""
