package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
)

// rowStore is what HTTP needs of the dataset service.
type rowStore interface {
	Create(ctx context.Context, r io.Reader, how data.Options) (d datasets.Dataset, created bool, err error)
	Get(ctx context.Context, id string) (datasets.Dataset, error)
	List(context.Context) ([]datasets.Dataset, error)
	Preview(ctx context.Context, id string, rows int) ([]datasets.Row, error)
	Delete(ctx context.Context, id string) error
	doctor
}

// rows is the whole of the dataset service, as the two halves of HTTP use it.
type rows interface {
	rowStore
	rowSource
	uploads
	CreateFor(ctx context.Context, tenant string, r io.Reader, how data.Options) (d datasets.Dataset, created bool, err error)
}

// datasetRoutes answers /datasets.
type datasetRoutes struct {
	store   rowStore
	limits  Limits
	metrics *meters
	ends    *ends
}

// createDatasetRequest is a file: the raw body, or the file part of a form.
type createDatasetRequest struct {
	Format  string `json:"-" query:"format" default:"auto"`
	Name    string `json:"-" query:"name"`
	Columns string `json:"-" query:"columns"`
	Offset  int    `json:"-" query:"offset" default:"0"`
	Limit   int    `json:"-" query:"limit" default:"0"`
	Sample  int    `json:"-" query:"sample" default:"0"`
	Seed    int    `json:"-" query:"shuffle_seed" default:"42"`
	File    upload
}

// createdDataset carries the status: 201 for a new data set, 200 for one that is
// already there.
type createdDataset struct {
	datasets.Dataset
	created bool
}

func (d createdDataset) header(h http.Header) int {
	h.Set("Location", "/datasets/"+d.ID)
	if !d.created {
		return http.StatusOK
	}
	return 0
}

// rawTypes are the content types a raw upload may have. Not among them is what curl
// says for -d, which also takes the line breaks out of a file.
var rawTypes = map[string]bool{
	"": true, "text/csv": true, "text/tab-separated-values": true, "text/plain": true,
	"application/json": true, "application/jsonl": true, "application/json-lines": true, "application/jsonlines": true,
	"application/x-ndjson": true, "application/ndjson": true, "application/x-jsonlines": true,
	"application/octet-stream": true, "application/vnd.apache.parquet": true, "application/x-parquet": true,
	"application/csv": true, "application/vnd.ms-excel": true, // what browsers on Windows say for .csv
}

// create takes in a file.
//
//	@Summary		Upload a data set
//	@Description	Takes in a file of rows: CSV (any delimiter), JSON lines, a JSON array or Parquet, as the raw body or as the file of a form. It is read as it arrives and checked to the last row; a bad file is refused with the line of every mistake, and nothing is stored. The same file is one data set however often it is sent (200 instead of 201).
//	@ID				createDataset
//	@Tags			datasets
//	@Accept			mpfd
//	@Accept			application/octet-stream
//	@Accept			text/csv
//	@Accept			application/x-ndjson
//	@Accept			json
//	@Produce		json
//	@Param			format	query		string	false	"format of the file"	Enums(auto, csv, jsonl, json, parquet)	default(auto)
//	@Param			name	query		string	false	"name to remember it by"
//	@Param			columns	query		string	false	"which column is which field of a row, as JSON: {\"text\": \"review\", \"label\": \"stars\"}; fields that it does not name are detected"
//	@Param			offset	query		int		false	"rows to skip; what is left out is not checked"	minimum(0)	default(0)
//	@Param			limit	query		int		false	"rows to take after them; 0: all"	minimum(0)	default(0)
//	@Param			sample	query		int		false	"rows to draw of these at random; 0: all, in order"	minimum(0)	default(0)
//	@Param			shuffle_seed	query	int	false	"of the draw"	default(42)
//	@Param			file	formData	file	true	"the file"
//	@Success		201		{object}	datasets.Dataset
//	@Success		200		{object}	datasets.Dataset	"this file was uploaded before"
//	@Failure		default	{object}	Problem
//	@Router			/datasets [post]
func (d datasetRoutes) create(ctx context.Context, in createDatasetRequest) (out createdDataset, err error) {
	defer func() { d.metrics.uploaded("dataset", err) }()
	body, err := in.File.within(d.limits.Dataset)
	if err != nil {
		return out, err
	}
	if in.File.Media == "multipart/form-data" {
		if body, err = d.part(in.File, body, &in); err != nil {
			return out, err
		}
	} else if !rawTypes[in.File.Media] {
		return out, fmt.Errorf("%w: %s; send the file itself as text/csv, application/x-ndjson, application/json or application/octet-stream (curl: -T FILE), or as multipart/form-data (curl: -F file=@FILE)",
			errMediaType, brief(in.File.Media))
	}
	how, err := in.options()
	if err != nil {
		return out, err
	}
	set, created, err := d.store.Create(ctx, body, how)
	if err != nil {
		return out, err
	}
	note(ctx, slog.String("dataset", set.ID), slog.Int("rows", set.Rows))
	return createdDataset{set, created}, nil
}

// options is how the file is to be read.
func (in createDatasetRequest) options() (data.Options, error) {
	how := data.Options{Format: in.Format, Name: in.Name, Choice: data.Choice{Offset: in.Offset, Limit: in.Limit, Sample: in.Sample, Seed: int64(in.Seed)}}
	var faults []error
	switch in.Format {
	case "", "auto", "csv", "jsonl", "json", "parquet":
	default:
		faults = append(faults, invalid.Field("format", "%q is none of auto, csv, jsonl, json, parquet", brief(in.Format)))
	}
	faults = append(faults, checkLabel("name", in.Name))
	if in.Columns != "" {
		if err := json.Unmarshal([]byte(in.Columns), &how.Columns); err != nil {
			faults = append(faults, invalid.Field("columns", `must be a JSON object from fields to columns, such as {"text": "review", "label": "stars"}`))
		}
	}
	return how, errors.Join(faults...)
}

// checkLabel refuses what is no name to remember something by.
func checkLabel(field, name string) error {
	if len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalid.Field(field, "must be at most 255 bytes with no control characters")
	}
	return nil
}

// part finds the file in a form. The other fields may come before it.
func (d datasetRoutes) part(u upload, body io.Reader, in *createDatasetRequest) (io.Reader, error) {
	form, err := u.form(body)
	if err != nil {
		return nil, err
	}
	for {
		p, err := form.NextPart()
		if err == io.EOF {
			return nil, invalid.Field("file", "is missing from the form (curl: -F file=@FILE)")
		}
		if err != nil {
			return nil, badForm(err)
		}
		if p.FileName() != "" || p.FormName() == "file" {
			if in.Name == "" {
				in.Name = path.Base(strings.ReplaceAll(p.FileName(), `\`, "/"))
			}
			return &formFile{Part: p, form: form}, nil
		}
		value, err := fieldText(p)
		if err != nil {
			return nil, err
		}
		number := map[string]*int{"offset": &in.Offset, "limit": &in.Limit, "sample": &in.Sample, "shuffle_seed": &in.Seed}[p.FormName()]
		switch p.FormName() {
		case "format":
			in.Format = value
		case "name":
			in.Name = value
		case "columns":
			in.Columns = value
		case "offset", "limit", "sample", "shuffle_seed":
			if *number, err = strconv.Atoi(value); err != nil {
				return nil, invalid.Field(p.FormName(), "must be a whole number, not %q", brief(value))
			}
		default:
			return nil, errors.Join(errUnknownField, invalid.Field(brief(p.FormName()), "%s",
				unknownText("form field", p.FormName(), []string{"file", "format", "name", "columns", "offset", "limit", "sample", "shuffle_seed"})))
		}
	}
}

// formFile reads the file of a form and refuses what comes after it: a second file,
// or a field that is too late to be heeded.
type formFile struct {
	*multipart.Part
	form *multipart.Reader
	end  error // of the file, once it is reached
}

func (f *formFile) Read(p []byte) (int, error) {
	if f.end != nil {
		return 0, f.end
	}
	n, err := f.Part.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		return n, badForm(err)
	}
	switch next, err := f.form.NextPart(); {
	case err == io.EOF:
		f.end = io.EOF
	case err != nil:
		f.end = badForm(err)
	default:
		f.end = invalid.Field(brief(next.FormName()), "comes after the file; send one file, as the last part of the form")
	}
	return n, f.end
}

// datasetRequest names a data set.
type datasetRequest struct {
	ID string `json:"-" path:"id"`
}

// list shows the data sets.
//
//	@Summary		List data sets
//	@Description	Lists the data sets, the newest first.
//	@ID				listDatasets
//	@Tags			datasets
//	@Produce		json
//	@Param			limit	query		int		false	"data sets in a page"	minimum(1)	maximum(100)	default(20)
//	@Param			after	query		string	false	"last_id of the page before"
//	@Success		200		{object}	page[datasets.Dataset]
//	@Failure		default	{object}	Problem
//	@Router			/datasets [get]
func (d datasetRoutes) list(ctx context.Context, in paging) (page[datasets.Dataset], error) {
	if err := in.check(); err != nil {
		return page[datasets.Dataset]{}, err
	}
	all, err := d.store.List(ctx)
	if err != nil {
		return page[datasets.Dataset]{}, err
	}
	return cutByTime(ctx, d.ends, all, in, false, func(s datasets.Dataset) string { return s.ID }, func(s datasets.Dataset) time.Time { return s.CreatedAt })
}

// get shows a data set.
//
//	@Summary		Show a data set
//	@Description	Shows what was found in a data set when it was uploaded.
//	@ID				getDataset
//	@Tags			datasets
//	@Produce		json
//	@Param			id	path		string	true	"the data set"
//	@Success		200	{object}	datasets.Dataset
//	@Failure		default	{object}	Problem
//	@Router			/datasets/{id} [get]
func (d datasetRoutes) get(ctx context.Context, in datasetRequest) (datasets.Dataset, error) {
	return d.store.Get(ctx, in.ID)
}

// previewRequest asks for the first rows of a data set.
type previewRequest struct {
	ID    string `json:"-" path:"id"`
	Limit int    `json:"-" query:"limit" default:"10"`
}

// preview shows the first rows as training will see them.
type preview struct {
	ID   string         `json:"id" example:"ds_9f86d081884c7d659a2f"`
	Kind string         `json:"kind" example:"classification"`
	Rows []datasets.Row `json:"rows"`
} // @name Preview

// preview shows the first rows of a data set.
//
//	@Summary		Preview a data set
//	@Description	Shows the first rows of a data set, as training will see them.
//	@ID				previewDataset
//	@Tags			datasets
//	@Produce		json
//	@Param			id		path		string	true	"the data set"
//	@Param			limit	query		int		false	"rows to show"	minimum(1)	maximum(100)	default(10)
//	@Success		200		{object}	preview
//	@Failure		default	{object}	Problem
//	@Router			/datasets/{id}/preview [get]
func (d datasetRoutes) preview(ctx context.Context, in previewRequest) (preview, error) {
	limit := in.Limit
	if limit < 1 || limit > largestPage {
		return preview{}, invalid.Field("limit", "must be from 1 to %d, not %d", largestPage, limit)
	}
	set, err := d.store.Get(ctx, in.ID)
	if err != nil {
		return preview{}, err
	}
	rows, err := d.store.Preview(ctx, in.ID, limit)
	return preview{ID: set.ID, Kind: string(set.Kind), Rows: rows}, err
}

// remove deletes a data set.
//
//	@Summary		Delete a data set
//	@Description	Deletes a data set. Jobs that were given it keep their rows.
//	@ID				deleteDataset
//	@Tags			datasets
//	@Param			id	path	string	true	"the data set"
//	@Success		204	"deleted"
//	@Failure		default	{object}	Problem
//	@Router			/datasets/{id} [delete]
func (d datasetRoutes) remove(ctx context.Context, in datasetRequest) (none, error) {
	return none{}, d.store.Delete(ctx, in.ID)
}
