# make test: everything that is tested, installing what is missing. CARGO_TARGET_DIR, if set, is used as it is.
# make demo: a cluster in containers, a Kubernetes control plane, a node, and a job that runs on them.
# make bench: the figures that we promise, each beside what it is compared to.
# make conformance: Kubernetes' own conformance tests of a node. Building them takes many minutes, once.
.PHONY: test demo bench conformance

test:
	@testbed/test

demo:
	@testbed/demo

bench:
	@testbed/testbed up --name bench
	@testbed/bench/run --name bench
	@testbed/testbed down --name bench

conformance:
	@testbed/testbed up --name conformance
	@testbed/conformance/run --name conformance
	@testbed/testbed down --name conformance
