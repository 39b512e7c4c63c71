"""Dispersy, the Distributed Permission System: communities without servers."""
