package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// comparePeers runs the tests on lightship and on every peer that scripts/peers finds, and
// writes RESULTS.md. Only lightship's failures count.
func comparePeers(trials *Trials, home string, lightship Runtime, tests []string, expected Expected) (int, error) {
	peers, err := findPeers(filepath.Join(filepath.Dir(home), "scripts", "peers"))
	if err != nil {
		return 0, err
	}
	runtimes := append([]Runtime{lightship}, peers...)
	columns := make([]map[string]Result, len(runtimes))
	once := *trials
	once.repeat = 1
	for i, runtime := range runtimes {
		if i == 0 {
			columns[i], err = trials.runAll(runtime, tests, expected)
		} else {
			columns[i], err = once.runAll(runtime, tests, Expected{})
		}
		if err != nil {
			return 0, err
		}
	}
	report := Report{runtimes, columns, tests, expected, trials.repeat}.page()
	if err := os.WriteFile(filepath.Join(home, "RESULTS.md"), []byte(report), 0o644); err != nil {
		return 0, err
	}
	return summary(columns[0], expected), nil
}

// findPeers reads the lines `name path version…` that scripts/peers prints.
func findPeers(script string) ([]Runtime, error) {
	command := exec.Command(script)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", script, err)
	}
	var peers []Runtime
	for _, line := range strings.Split(strings.TrimSpace(string(output)), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		peer := Runtime{Name: fields[0], Path: fields[1]}
		if strings.HasPrefix(peer.Name, "crun") {
			peer.V1Only = true
			// crun accepts no version of the spec newer than its own.
			if strings.Contains(line, " spec 1.0.") {
				peer.OciVersion = "1.0.0"
			}
		}
		peers = append(peers, peer)
	}
	return peers, nil
}
