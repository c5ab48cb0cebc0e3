package coverage

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/santhosh-tekuri/jsonschema/v5"
)

// features.md: the document is what the specification's JSON schema says, and has no other property.
func TestFeaturesAreWhatTheSchemaSays(t *testing.T) {
	runtime := os.Getenv("RUNTIME")
	if runtime == "" {
		t.Skip("RUNTIME is not set to a runtime")
	}
	output, err := exec.Command(runtime, "features").Output()
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(output, &document); err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.Compile("file://" + module(t, spec) + "/schema/features-schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Errorf("%#v", err)
	}
	// The schema lacks some properties that features-linux.md has, and allows any others.
	decoder := json.NewDecoder(bytes.NewReader(output))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&features.Features{}); err != nil {
		t.Error(err)
	}
}
