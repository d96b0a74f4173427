"""The test suite; a package, so that its helpers can be imported however pytest is started."""
