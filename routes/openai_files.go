package routes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/queue"
)

// A file of OpenAI's API is a data set here, under another id; the result file of a job
// is made of its events when it is asked for.
const (
	filePrefix    = "file-"
	resultsPrefix = "file-results-"

	purposeTune    = "fine-tune"
	purposeResults = "fine-tune-results"
)

// uploads is what /v1/files needs of the dataset service beside what other routes do.
type uploads interface {
	CreateKept(ctx context.Context, tenant string, file io.ReadSeeker, how data.Options) (d datasets.Dataset, created bool, err error)
	Upload(ctx context.Context, d datasets.Dataset) (b store.Blob, digest string, err error)
	Labelled(ctx context.Context, in datasets.Inputs) (datasets.Inputs, error)
}

// openaiFiles answers /v1/files.
type openaiFiles struct {
	rows    rows
	jobs    jobs
	limits  Limits
	metrics *meters
	ends    *ends
}

// openaiFile is an uploaded file, or the results of a job.
type openaiFile struct {
	ID        string `json:"id" example:"file-9f86d081884c7d659a2f"`
	Object    string `json:"object" example:"file" enums:"file"`
	Bytes     int64  `json:"bytes" example:"52114"`
	CreatedAt int64  `json:"created_at" example:"1764288000" format:"int64"`
	Filename  string `json:"filename" example:"reviews.jsonl"`
	Purpose   string `json:"purpose" example:"fine-tune" enums:"fine-tune,fine-tune-results"`
	Status    string `json:"status" example:"processed" enums:"processed"`        // a file is checked as it arrives, and a bad one is not kept
	Dataset   string `json:"dataset,omitempty" example:"ds_9f86d081884c7d659a2f"` // what the other routes call it

	made time.Time // by which a list is in order
} // @name OpenAIFile

func fileOf(d datasets.Dataset) openaiFile {
	return openaiFile{ID: fileID(d.ID), Object: "file", Bytes: d.Bytes, CreatedAt: d.CreatedAt.Unix(), Filename: d.Name,
		Purpose: purposeTune, Status: "processed", Dataset: d.ID, made: d.CreatedAt}
}

func fileID(dataset string) string { return filePrefix + strings.TrimPrefix(dataset, "ds_") }

// datasetID is the data set that a file id means.
func datasetID(file string) string {
	if rest, ok := strings.CutPrefix(file, filePrefix); ok {
		return "ds_" + rest
	}
	return file
}

func resultsID(job string) string { return resultsPrefix + strings.TrimPrefix(job, "job_") }

// createFileRequest is a form with a file and a purpose.
type createFileRequest struct {
	Form upload
}

// create takes in a file.
//
//	@Summary		Upload a file (OpenAI)
//	@Description	Takes in a file to tune on: JSON lines of conversations ({"messages": …}) or of prompts and completions, and whatever POST /datasets takes. It is checked to the last row as it arrives; a bad file is refused with the line of every mistake. The same file is one file however often it is sent, and is a data set of the other routes too.
//	@ID				openaiCreateFile
//	@Tags			openai
//	@Accept			mpfd
//	@Produce		json
//	@Param			purpose	formData	string	true	"fine-tune"
//	@Param			file	formData	file	true	"the file"
//	@Success		200		{object}	openaiFile
//	@Failure		default	{object}	Problem
//	@Router			/v1/files [post]
func (f openaiFiles) create(ctx context.Context, in createFileRequest) (out openaiFile, err error) {
	defer func() { f.metrics.uploaded("file", err) }()
	body, err := in.Form.within(f.limits.Dataset)
	if err != nil {
		return out, err
	}
	if in.Form.Media != "multipart/form-data" {
		return out, fmt.Errorf("%w: %s; send multipart/form-data with purpose and file (curl: -F purpose=fine-tune -F file=@FILE)", errMediaType, brief(in.Form.Media))
	}
	form, err := in.Form.form(body)
	if err != nil {
		return out, err
	}
	// The purpose may come after the file, which waits for it here.
	spool, err := os.CreateTemp(f.limits.TempDir, "file-*")
	if err != nil {
		return out, err
	}
	defer func() { _, _ = spool.Close(), os.Remove(spool.Name()) }() // scratch
	var faults, unknown []error
	var name, purpose string
	came := false
	for {
		p, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return out, badForm(err)
		}
		switch {
		case p.FormName() == "file" && came:
			faults = append(faults, invalid.Field("file", "comes twice"))
		case p.FormName() == "file":
			name = path.Base(strings.ReplaceAll(p.FileName(), `\`, "/"))
			came = true
			in := &partReader{Reader: p}
			if _, err := io.Copy(spool, in); err != nil {
				return out, cmp.Or(in.err, err)
			}
		case p.FormName() == "purpose":
			if purpose, err = fieldText(p); err != nil {
				return out, err
			}
		default:
			unknown = append(unknown, invalid.Field(brief(p.FormName()), "%s", unknownText("form field", p.FormName(), []string{"file", "purpose"})))
		}
		if len(unknown)+len(faults) > maxFaults {
			break
		}
	}
	if !came {
		faults = append(faults, invalid.Field("file", "is missing from the form (curl: -F file=@FILE)"))
	}
	if purpose != purposeTune {
		faults = append(faults, invalid.Field("purpose", "%q is not supported: files are for fine-tune", brief(purpose)))
	}
	how, wrong := createDatasetRequest{Name: name}.options()
	if faults = append(faults, wrong); len(unknown) > 0 {
		return out, errors.Join(errUnknownField, errors.Join(append(unknown, faults...)...))
	}
	if err := errors.Join(faults...); err != nil {
		return out, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return out, err
	}
	set, _, err := f.rows.CreateKept(ctx, callerIn(ctx).tenant(), spool, how)
	if err != nil {
		return out, err
	}
	note(ctx, slog.String("dataset", set.ID), slog.Int("rows", set.Rows))
	return fileOf(set), nil
}

// partReader tells an error of the form from one of who reads it.
type partReader struct {
	io.Reader
	err error
}

func (r *partReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = badForm(err)
		r.err = err
	}
	return n, err
}

// listFilesRequest asks for a page of files.
type listFilesRequest struct {
	Purpose string `json:"-" query:"purpose"`
	Limit   int    `json:"-" query:"limit" default:"100"`
	After   string `json:"-" query:"after"`
	Order   string `json:"-" query:"order" default:"desc"`
}

// list shows the files.
//
//	@Summary		List files (OpenAI)
//	@Description	Lists the uploaded files, or with purpose fine-tune-results those that jobs made. A page holds at most 100; has_more says whether there are more.
//	@ID				openaiListFiles
//	@Tags			openai
//	@Produce		json
//	@Param			purpose	query	string	false	"only files for this"	Enums(fine-tune, fine-tune-results)
//	@Param			limit	query	int		false	"files in a page"	minimum(1)	maximum(10000)	default(100)
//	@Param			after	query	string	false	"id of the last file of the page before"
//	@Param			order	query	string	false	"by the time of the upload"	Enums(asc, desc)	default(desc)
//	@Success		200		{object}	listing[openaiFile]
//	@Failure		default	{object}	Problem
//	@Router			/v1/files [get]
func (f openaiFiles) list(ctx context.Context, in listFilesRequest) (listing[openaiFile], error) {
	var faults []error
	if in.Limit < 1 || in.Limit > 10000 {
		faults = append(faults, invalid.Field("limit", "must be from 1 to 10000, not %d", in.Limit))
	}
	if in.Order != "asc" && in.Order != "desc" {
		faults = append(faults, invalid.Field("order", "%q is none of asc, desc", brief(in.Order)))
	}
	if err := errors.Join(faults...); err != nil {
		return listing[openaiFile]{}, err
	}
	var all []openaiFile
	switch in.Purpose {
	case "", purposeTune:
		sets, err := f.rows.List(ctx)
		if err != nil {
			return listing[openaiFile]{}, err
		}
		for _, d := range sets {
			all = append(all, fileOf(d))
		}
	case purposeResults:
		var err error
		if all, err = f.results(ctx); err != nil {
			return listing[openaiFile]{}, err
		}
	}
	if in.Order == "asc" {
		slices.Reverse(all)
	}
	p, err := cutByTime(ctx, f.ends, all, paging{Limit: min(in.Limit, largestPage), After: in.After}, in.Order == "asc",
		func(f openaiFile) string { return f.ID }, func(f openaiFile) time.Time { return f.made })
	if err != nil || in.Purpose != purposeResults {
		return listingOf(p), err
	}
	for i := range p.Data {
		if p.Data[i], err = f.find(ctx, p.Data[i].ID); err != nil {
			return listing[openaiFile]{}, err
		}
	}
	return listingOf(p), nil
}

// results are the result files of all jobs that are over, without their sizes.
func (f openaiFiles) results(ctx context.Context) ([]openaiFile, error) {
	var all []openaiFile
	after := ""
	for {
		found, more, err := f.jobs.List(ctx, queue.Filter{Limit: largestPage, After: after})
		if err != nil {
			return nil, err
		}
		for _, j := range found {
			if after = j.ID; hasResults(j) {
				all = append(all, resultsOf(j))
			}
		}
		if !more || len(found) == 0 {
			return all, nil
		}
	}
}

func hasResults(j tuning.Job) bool { return j.Status.Over() && j.Attempt > 0 }

func resultsOf(j tuning.Job) openaiFile {
	f := openaiFile{ID: resultsID(j.ID), Object: "file", CreatedAt: j.CreatedAt.Unix(), Filename: "step_metrics.csv", Purpose: purposeResults, Status: "processed", made: j.CreatedAt}
	if j.FinishedAt != nil {
		f.CreatedAt = j.FinishedAt.Unix()
	}
	return f
}

// fileIDRequest names a file.
type fileIDRequest struct {
	ID string `json:"-" path:"file_id"`
}

// get shows a file.
//
//	@Summary		Show a file (OpenAI)
//	@Description	Shows an uploaded file, or the results of a job.
//	@ID				openaiGetFile
//	@Tags			openai
//	@Produce		json
//	@Param			file_id	path		string	true	"the file"
//	@Success		200		{object}	openaiFile
//	@Failure		default	{object}	Problem
//	@Router			/v1/files/{file_id} [get]
func (f openaiFiles) get(ctx context.Context, in fileIDRequest) (openaiFile, error) {
	return f.find(ctx, in.ID)
}

func (f openaiFiles) find(ctx context.Context, id string) (openaiFile, error) {
	if strings.HasPrefix(id, resultsPrefix) {
		j, table, err := f.table(ctx, id)
		if err != nil {
			return openaiFile{}, err
		}
		out := resultsOf(j)
		out.Bytes = int64(len(table))
		return out, nil
	}
	d, err := f.rows.Get(ctx, datasetID(id))
	if err != nil {
		return openaiFile{}, f.missing(id, err)
	}
	return fileOf(d), nil
}

// missing says it in the words of these routes.
func (f openaiFiles) missing(id string, err error) error {
	if errors.Is(err, datasets.ErrNotFound) || errors.Is(err, tuning.ErrNotFound) {
		return fmt.Errorf("%w: %q; GET /v1/files lists them", errNoUpload, brief(id))
	}
	return err
}

// table is the result file of a job.
func (f openaiFiles) table(ctx context.Context, id string) (tuning.Job, []byte, error) {
	j, err := f.jobs.Get(ctx, "job_"+strings.TrimPrefix(id, resultsPrefix))
	if err == nil && !hasResults(j) {
		err = tuning.ErrNotFound
	}
	if err != nil {
		return j, nil, f.missing(id, err)
	}
	events, err := f.jobs.Events(ctx, j.ID, "", 0)
	if err != nil {
		return j, nil, err
	}
	table, err := resultsTable(events)
	if err != nil {
		err = fmt.Errorf("job %s: %w", j.ID, err)
	}
	return j, table, err
}

// remove deletes a file.
//
//	@Summary		Delete a file (OpenAI)
//	@Description	Deletes an uploaded file. Jobs that were given it keep their rows.
//	@ID				openaiDeleteFile
//	@Tags			openai
//	@Produce		json
//	@Param			file_id	path		string	true	"the file"
//	@Success		200		{object}	deleted
//	@Failure		default	{object}	Problem
//	@Router			/v1/files/{file_id} [delete]
func (f openaiFiles) remove(ctx context.Context, in fileIDRequest) (deleted, error) {
	if strings.HasPrefix(in.ID, resultsPrefix) {
		if _, err := f.find(ctx, in.ID); err != nil {
			return deleted{}, err
		}
		return deleted{}, invalid.Field("file_id", "these are the results of a job: they stay as long as it does")
	}
	return deleted{in.ID, "file", true}, f.missing(in.ID, f.rows.Delete(ctx, datasetID(in.ID)))
}

// fileContent is a file on its way out.
type fileContent struct {
	stored *storedFile
	table  []byte
	name   string
}

// content gives a file out.
//
//	@Summary		Download a file (OpenAI)
//	@Description	Gives out the bytes of a file: of an upload as they came (a data set of POST /datasets as canonical JSON lines), of a job's results a CSV table of its steps: step, train_loss, learning_rate, and of evaluations valid_loss and what else was measured.
//	@ID				openaiGetFileContent
//	@Tags			openai
//	@Produce		application/octet-stream
//	@Param			file_id	path		string	true	"the file"
//	@Success		200		{file}		file	"the file"
//	@Failure		default	{object}	Problem
//	@Router			/v1/files/{file_id}/content [get]
func (f openaiFiles) content(ctx context.Context, in fileIDRequest) (fileContent, error) {
	if strings.HasPrefix(in.ID, resultsPrefix) {
		_, table, err := f.table(ctx, in.ID)
		return fileContent{table: table, name: "step_metrics.csv"}, err
	}
	d, err := f.rows.Get(ctx, datasetID(in.ID))
	if err != nil {
		return fileContent{}, f.missing(in.ID, err)
	}
	b, digest, err := f.rows.Upload(ctx, d)
	if err != nil {
		return fileContent{}, err
	}
	return fileContent{stored: &storedFile{blob: b, name: d.Name + map[bool]string{true: ".jsonl"}[digest != d.Digest], digest: digest, created: d.CreatedAt.Truncate(time.Second)}}, nil
}

func (f fileContent) write(w http.ResponseWriter, r *http.Request) error {
	if f.stored != nil {
		return f.stored.write(w, r)
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.name}))
	h.Set("Content-Length", fmt.Sprint(len(f.table)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(f.table) // the caller may have left: no one to tell
	return nil
}
