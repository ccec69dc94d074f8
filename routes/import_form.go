package routes

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
)

// fromForm reads the form. The weights go to a temporary file, which release
// removes.
func (a adapterRoutes) fromForm(u upload, got *arrival) error {
	body, err := u.within(a.limits.Adapter + largestConfig + 64<<10)
	if err != nil {
		return err
	}
	form, err := u.form(body)
	if err != nil {
		return err
	}
	got.Source = "upload"
	seen := map[string]bool{}
	for {
		p, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return badForm(err)
		}
		what := partName(p.FormName(), p.FileName())
		if seen[what] {
			return invalid.Field(brief(what), "is given twice")
		}
		seen[what] = true
		switch what {
		case "name":
			got.Name, err = fieldText(p)
		case "model":
			got.Model, err = fieldText(p)
		case adapters.ConfigFile:
			got.Config, err = io.ReadAll(limited(p, largestConfig))
		case adapters.CalibrationFile:
			got.Calibration, err = io.ReadAll(limited(p, largestConfig))
		case adapters.WeightsFile:
			err = a.keep(p, got)
		default:
			err = strange(what)
		}
		if err != nil {
			return badPart(err)
		}
	}
	faults := []error{checkImport(got.Name, got.Model)}
	const absent = "is missing or empty (curl: -F %s=@%[1]s)"
	if len(got.Config) == 0 {
		faults = append(faults, invalid.Field(adapters.ConfigFile, absent, adapters.ConfigFile))
	}
	if got.Size == 0 {
		faults = append(faults, invalid.Field(adapters.WeightsFile, absent, adapters.WeightsFile))
	}
	return errors.Join(faults...)
}

// partName says what a part is: by its field name, or, when the field is just
// called "file" or "files", by the name of the file.
func partName(field, file string) string {
	if field == "file" || field == "files" || field == "" {
		return path.Base(strings.ReplaceAll(file, `\`, "/"))
	}
	return field
}

// strange refuses a part that has no business here. Pickle files run code when they
// are read; what they hold can be had as safetensors.
func strange(what string) error {
	switch path.Ext(what) {
	case ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt":
		return pickle(brief(what), brief(what))
	}
	return errors.Join(errUnknownField, invalid.Field(brief(what), "%s",
		unknownText("part", what, []string{"name", "model", adapters.ConfigFile, adapters.WeightsFile, adapters.CalibrationFile})))
}

// badPart tells what is wrong with a part from what is wrong with our disk.
func badPart(err error) error {
	var disk *fs.PathError
	if errors.As(err, &disk) || invalid.Is(err) || errors.Is(err, errUnknownField) || errors.Is(err, errTooLarge) {
		return err
	}
	return badForm(err)
}

func pickle(field, file string) error {
	return invalid.Field(field, "%s is a pickle file, which can run code when it is read, and is never accepted; save the adapter with save_pretrained(…, safe_serialization=True) and send %s",
		file, adapters.WeightsFile)
}

// keep writes the weights to a temporary file.
func (a adapterRoutes) keep(p io.Reader, got *arrival) error {
	f, err := os.CreateTemp(a.limits.TempDir, "adapter-*.safetensors")
	if err != nil {
		return err
	}
	got.later(func() error { return errors.Join(f.Close(), os.Remove(f.Name())) })
	got.Weights = f
	got.Size, err = io.Copy(f, limited(p, a.limits.Adapter))
	return err
}
