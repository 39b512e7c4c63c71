"""The service around the roles: configuration, supervision, the gateway for applications."""
