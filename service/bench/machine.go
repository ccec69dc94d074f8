package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// machineInfo is what figures depend on besides the programs.
type machineInfo struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Threads  int               `json:"threads"` // each side's
	Flags    []string          `json:"flags"`   // of the CPU, those that matrices care for
	MemoryGB float64           `json:"memory_gb"`
	Go       string            `json:"go"`
	Versions map[string]string `json:"versions"` // of the sides
}

func machine(threads int) machineInfo {
	m := machineInfo{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Threads: threads, Go: runtime.Version(), Versions: map[string]string{}}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil { // not a Linux
		return m
	}
	for line := range strings.Lines(string(info)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			m.CPU = strings.TrimSpace(value)
		case "flags":
			m.Flags = nil
			for _, f := range strings.Fields(value) {
				if slices.Contains([]string{"avx2", "fma", "avx_vnni"}, f) || strings.HasPrefix(f, "avx512") || strings.HasPrefix(f, "amx") {
					m.Flags = append(m.Flags, f)
				}
			}
		}
	}
	if memory, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kB float64
		if _, err := fmt.Sscanf(string(memory), "MemTotal: %f kB", &kB); err == nil {
			m.MemoryGB = kB * 1024 / 1e9
		}
	}
	return m
}

func (m machineInfo) String() string {
	return fmt.Sprintf("%s, %d cores, %.0f GB, %s; each side has %d threads; %s", m.CPU, m.Cores, m.MemoryGB, strings.Join(m.Flags, " "), m.Threads, m.Go)
}
