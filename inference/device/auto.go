package device

import (
	"context"
	"strings"

	"github.com/gomlx/go-xla/installer"
)

// auto opens the fastest backend that can be had. It fails only where ctx ends or the
// Go backend does.
func auto(ctx context.Context, opt Options) (*Device, error) {
	if !hasCgo {
		opt.Log.Warn("serving on the slower Go backend", "tried", ErrNoCgo.Error(), "help", "or say --backend go")
		return openGo(opt)
	}
	var tried []string
	hasCUDA := false
	try := func(p Plugin) *Device {
		d, err := openPlugin(p, "", opt)
		if err != nil {
			tried = append(tried, err.Error())
			return nil
		}
		if hasCUDA = hasCUDA || p.Kind == "cuda"; !hasCUDA && installer.HasNvidiaGPU() {
			opt.Log.Info("an NVIDIA GPU is here and unused", "help", "`service backend install cuda` lets --backend auto use it")
		}
		return d
	}

	opened := map[string]bool{}
	for _, p := range List(opt) {
		opened[p.Path] = !p.damaged()
		if d := try(p); d != nil {
			return d, nil
		}
	}
	if len(tried) == 0 {
		tried = append(tried, "no plugin is installed")
	}
	if opt.Install {
		p, err := installCPU(ctx, opt, brisk)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			tried = append(tried, err.Error())
		case !opened[p.Path]:
			if d := try(p); d != nil {
				return d, nil
			}
		}
	}
	opt.Log.Warn("serving on the slower Go backend", "tried", strings.Join(tried, "; "),
		"help", "`service backend install` downloads an XLA plugin, or set PJRT_PLUGIN_LIBRARY_PATH to one you have, or say --backend go")
	return openGo(opt)
}
