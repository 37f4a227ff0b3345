# make test: everything that is tested, installing what is missing. CARGO_TARGET_DIR, if set, is used as it is.
# make demo: a cluster in containers, a Kubernetes control plane, a node, and a job that runs on them.
# make bench: the figures that we promise, each beside what it is compared to.
.PHONY: test demo bench

test:
	@testbed/test

demo:
	@testbed/demo

bench:
	@testbed/testbed up --name bench
	@testbed/bench/run --name bench
	@testbed/testbed down --name bench
