"""Weights from elsewhere: read without running code, named, laid out and merged strictly."""
