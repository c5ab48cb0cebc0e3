//go:build pins

// The programs that build.go builds from the pinned module: this file, never compiled, keeps
// the module and its own dependencies in go.mod and go.sum.
package main

import (
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
	_ "github.com/opencontainers/runtime-tools/validation/default"
	_ "github.com/opencontainers/runtime-tools/validation/util"
)
