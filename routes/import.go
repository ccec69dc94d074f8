package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference"
)

// sources opens the PEFT folder that a source names: "hf:owner/name@revision", or
// "file:PATH" below an allowed folder. A folder that is an io.Closer is closed.
type sources interface {
	Open(ctx context.Context, source string) (fs.FS, error)
}

// createAdapterRequest is either JSON, an adapterSource, or a form with the files of
// a PEFT folder.
type createAdapterRequest struct {
	Upload upload
}

// adapterSource is the JSON form: where to fetch the adapter from.
type adapterSource struct {
	Name   string `json:"name" example:"imdb"`
	Model  string `json:"model,omitempty" example:"bert"`                // the base; may be left out when there is only one that fits
	Source string `json:"source" example:"hf:owner/bert-imdb-lora@main"` // "hf:owner/name@revision", or "file:PATH" below an allowed folder
} // @name AdapterSource

// create registers an adapter made elsewhere.
//
//	@Summary		Register an adapter
//	@Description	Registers a PEFT adapter as the next version of its name. Either JSON with a source ("hf:owner/name@revision", or "file:PATH" below an allowed folder), or a form with the fields name and model and the parts adapter_config.json and adapter_model.safetensors, and perhaps calibration.json. The adapter is checked whole before anything is stored: pickle files, adapters of another base, unknown options and NaN weights are refused with all the reasons.
//	@ID				createAdapter
//	@Tags			adapters
//	@Accept			json
//	@Produce		json
//	@Param			request	body		adapterSource	true	"where to fetch the adapter from"
//	@Success		201							{object}	adapterVersion
//	@Failure		default	{object}	Problem
//	@Router			/adapters [post]
func (a adapterRoutes) create(ctx context.Context, in createAdapterRequest) (out createdAdapter, err error) {
	defer func() { a.metrics.uploaded("adapter", err) }()
	if err := a.engine.Ready(); err != nil {
		return out, err // its base may be on its way
	}
	var got arrival
	defer func() { got.release(ctx) }()
	if in.Upload.Media == "multipart/form-data" {
		err = a.fromForm(in.Upload, &got)
	} else {
		err = a.fromSource(ctx, in.Upload, &got)
	}
	if err != nil {
		return out, err
	}
	if got.Model == "" {
		if got.Model, err = a.baseOf(ctx, got.Config); err != nil {
			return out, err
		}
	}
	v, err := a.engine.Import(ctx, got.Import)
	if err != nil {
		return out, err
	}
	note(ctx, slog.String("adapter", v.String()))
	view, err := a.view(ctx, v)
	return createdAdapter{view}, err
}

// createdAdapter tells where the new version is.
type createdAdapter struct{ adapterVersion }

func (c createdAdapter) header(h http.Header) int {
	h.Set("Location", fmt.Sprintf("/adapters/%s/versions/%d", c.Name, c.Version))
	return 0
}

// arrival is an adapter on its way in, and what to let go of afterwards.
type arrival struct {
	inference.Import
	closers []func() error
}

func (a *arrival) later(f func() error) { a.closers = append(a.closers, f) }

// release closes and removes. That something could not be removed is no reason to
// tell a caller that the adapter was not registered; the log has it.
func (a *arrival) release(ctx context.Context) {
	for _, f := range slices.Backward(a.closers) {
		if err := f(); err != nil {
			note(ctx, slog.String("left_behind", err.Error()))
		}
	}
}

// baseOf finds the base of an adapter that names none: the only one there is, or the
// one that was loaded from the repository in the adapter's configuration.
func (a adapterRoutes) baseOf(ctx context.Context, config []byte) (string, error) {
	models, err := a.engine.Models(ctx)
	if err != nil {
		return "", err
	}
	var c struct {
		Base string `json:"base_model_name_or_path"`
	}
	_ = json.Unmarshal(config, &c) // a broken file gets its proper error from Import
	var bases []string
	for _, m := range models {
		if m.Kind != "base" {
			continue
		}
		repository, _, _ := strings.Cut(strings.TrimPrefix(m.Source, "hf:"), "@")
		if c.Base != "" && (c.Base == repository || c.Base == m.Name) {
			return m.Name, nil
		}
		bases = append(bases, m.Name)
	}
	if len(bases) == 1 {
		return bases[0], nil
	}
	slices.Sort(bases)
	return "", invalid.Field("model", "is missing; say which base the adapter is for: %s", strings.Join(bases, ", "))
}

// fromSource reads the JSON form and opens the folder that it names.
func (a adapterRoutes) fromSource(ctx context.Context, u upload, got *arrival) error {
	var s adapterSource
	if err := u.json(&s); err != nil {
		if errors.Is(err, errMediaType) {
			err = fmt.Errorf("%w; or send the files as multipart/form-data", err)
		}
		return err
	}
	faults := []error{checkImport(s.Name, s.Model)}
	scheme, rest, _ := strings.Cut(s.Source, ":")
	switch {
	case s.Source == "":
		faults = append(faults, invalid.Field("source", `is missing; send "hf:owner/name@revision" or "file:PATH"`))
	case scheme != "hf" && scheme != "file", rest == "", strings.ContainsRune(rest, 0):
		faults = append(faults, invalid.Field("source", `%q is neither "hf:owner/name@revision" nor "file:PATH"`, brief(s.Source)))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	dir, err := a.sources.Open(ctx, s.Source)
	if err != nil {
		return err
	}
	if c, ok := dir.(io.Closer); ok {
		got.later(c.Close)
	}
	got.Name, got.Model, got.Source = s.Name, s.Model, s.Source
	return got.read(dir)
}

// read takes the two files out of a PEFT folder, and the calibration that one of ours has.
func (a *arrival) read(dir fs.FS) error {
	config, err := dir.Open(adapters.ConfigFile)
	if err != nil {
		return absent(dir, adapters.ConfigFile, err)
	}
	a.later(config.Close)
	if a.Config, err = io.ReadAll(limited(config, largestConfig)); err != nil {
		return err
	}
	if calibration, err := dir.Open(adapters.CalibrationFile); err == nil {
		a.later(calibration.Close)
		if a.Calibration, err = io.ReadAll(limited(calibration, largestConfig)); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	weights, err := dir.Open(adapters.WeightsFile)
	if err != nil {
		return absent(dir, adapters.WeightsFile, err)
	}
	a.later(weights.Close)
	info, err := weights.Stat()
	if err != nil {
		return err
	}
	at, ok := weights.(io.ReaderAt)
	if !ok {
		return fmt.Errorf("a %T cannot be read at an offset", weights)
	}
	a.Weights, a.Size = at, info.Size()
	return nil
}

// absent says what a folder lacks, and why, when there is a likely reason.
func absent(dir fs.FS, name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f, err := dir.Open("adapter_model.bin"); err == nil && name == adapters.WeightsFile {
		return errors.Join(pickle("source", "adapter_model.bin"), f.Close())
	}
	return invalid.Field("source", "has no %s; it must be a folder that PEFT saved", name)
}

func checkImport(name, model string) error {
	var faults []error
	if name == "" {
		faults = append(faults, invalid.Field("name", "is missing; say what the adapter is to be called"))
	} else {
		faults = append(faults, adapters.CheckName("name", brief(name)))
	}
	if model != "" {
		faults = append(faults, adapters.CheckName("model", brief(model)))
	}
	return errors.Join(faults...)
}

const largestConfig = 1 << 20
