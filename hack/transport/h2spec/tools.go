//go:build tools

// Package tools pins h2spec, the conformance test of HTTP/2 servers.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
