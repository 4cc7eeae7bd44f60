"""Imports and exports: what people have elsewhere comes in, and all of it goes out again.

A module a format reads files into `FoundFile` and writes `GivenPersona`s into files; plans, the
journal of an import, and exports know no format.
"""
