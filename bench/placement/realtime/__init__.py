"""The same workloads in real time: simulated servers over HTTP, behind a real Envoy."""
