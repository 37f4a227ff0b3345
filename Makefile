# make test: everything that is tested, installing what is missing. CARGO_TARGET_DIR, if set, is used as it is.
.PHONY: test

test:
	@testbed/test
