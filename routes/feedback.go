package routes

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/feedback"
)

// answers is what HTTP needs of the feedback service. Each tenant has collections of its
// own, an administrator those of the key's tenant.
type answers interface {
	Add(ctx context.Context, tenant, collection string, row json.RawMessage, e feedback.Entry) (feedback.Entry, error)
	List(ctx context.Context, tenant string) ([]feedback.Collection, error)
	Summary(ctx context.Context, tenant, collection string) (feedback.Summary, error)
	Rows(ctx context.Context, tenant, collection, after string, most int) (page []feedback.Entry, more bool, err error)
	Dataset(ctx context.Context, tenant, collection string, m feedback.Making) (d datasets.Dataset, created bool, err error)
	DeleteRow(ctx context.Context, tenant, collection, id string) error
	Delete(ctx context.Context, tenant, collection string) error
}

// feedbackRoutes answers /feedback.
type feedbackRoutes struct {
	store answers
	sets  rows
}

// feedbackRequest tells what was learnt of an answer.
type feedbackRequest struct {
	Collection string          `json:"collection" example:"mood"`                                   // where it is kept; made with its first row
	Row        json.RawMessage `json:"row" swaggertype:"object"`                                    // what was asked, with the right answer, as a row of a data set
	Correct    *bool           `json:"correct,omitempty" example:"false"`                           // whether the model's answer was right
	Model      string          `json:"model,omitempty" example:"bert"`                              // that answered
	Adapter    string          `json:"adapter,omitempty" example:"mood@3"`                          // that answered
	RequestID  string          `json:"request_id,omitempty" example:"req_5f0c2b7e9a1d4c3f8e6b7a90"` // of the answer, as its header X-Request-Id told
} // @name FeedbackRequest

// given is a row of feedback.
type given struct {
	ID        string       `json:"id" example:"fb_06451f3a7c2d1eq3v9k2mzt7"`
	Row       datasets.Row `json:"row"`
	Correct   *bool        `json:"correct,omitempty" example:"false"`
	Model     string       `json:"model,omitempty" example:"bert"`
	Adapter   string       `json:"adapter,omitempty" example:"mood@3"`
	RequestID string       `json:"request_id,omitempty" example:"req_5f0c2b7e9a1d4c3f8e6b7a90"`
	Key       string       `json:"key,omitempty" example:"key_k3v9q2mzt7xw5n4jhd6a"` // that sent it
	CreatedAt time.Time    `json:"created_at"`
} // @name Feedback

// add keeps what was learnt of an answer.
//
//	@Summary		Give feedback on an answer
//	@Description	Keeps what an application learnt of an answer: the text that was asked, with the right answer, as a row of a data set is written ({"text", "label"}, {"instruction", "input", "output"}, {"messages"} that end with what the assistant should have said, …), in a collection by name. POST /feedback/{collection}/datasets makes a data set of the rows to tune on. The service keeps no texts of the requests it answers, so that the row must hold what was asked; request_id, model, adapter and correct are kept beside it.
//	@Description
//	@Description	The first row of a collection decides what kind its rows are. Of rows that ask the same the latest counts. A key of scope predict is enough, so that whoever asks can tell what came of it; what they tell is trained on only when a key of scope tune makes a data set of it, and the promotion gate of a job keeps out what does not help. A row may have 16 KiB, a collection about 10,000 rows, a tenant 32 collections; beyond, the answer is 409.
//	@ID				addFeedback
//	@Tags			feedback
//	@Accept			json
//	@Produce		json
//	@Param			request	body		feedbackRequest	true	"what was asked, and what is right"
//	@Success		201		{object}	given
//	@Failure		default	{object}	Problem
//	@Router			/feedback [post]
func (f feedbackRoutes) add(ctx context.Context, in feedbackRequest) (given, error) {
	var faults []error
	if len(in.Row) == 0 || string(in.Row) == "null" {
		faults = append(faults, invalid.Field("row", `is missing; send what was asked with the right answer, such as {"text": …, "label": …}`))
	}
	if in.Model != "" {
		faults = append(faults, checkRef("model", in.Model))
	}
	if in.Adapter != "" {
		faults = append(faults, checkRef("adapter", in.Adapter))
	}
	if in.RequestID != "" && !validRequestID(in.RequestID) {
		faults = append(faults, invalid.Field("request_id", "is not the id of a request, as the header X-Request-Id of an answer tells it"))
	}
	if in.Collection == "" {
		faults = append(faults, invalid.Field("collection", "is missing; name where the feedback is to be kept"))
	}
	if err := errors.Join(faults...); err != nil {
		return given{}, err
	}
	who := callerIn(ctx)
	e, err := f.store.Add(ctx, who.tenant(), in.Collection, in.Row,
		feedback.Entry{Correct: in.Correct, Model: in.Model, Adapter: in.Adapter, RequestID: in.RequestID, Key: who.key.ID})
	if err != nil {
		return given{}, err
	}
	note(ctx, slog.String("feedback", in.Collection))
	return given(e), nil
}

// addBelowV1 is add, where OpenAI's clients have their base URL.
//
//	@Summary		Give feedback on an answer (below /v1)
//	@Description	Does what POST /feedback does, for applications that know the address of /v1 alone. OpenAI's API has nothing of the kind.
//	@ID				addFeedbackV1
//	@Tags			openai
//	@Accept			json
//	@Produce		json
//	@Param			request	body		feedbackRequest	true	"what was asked, and what is right"
//	@Success		201		{object}	given
//	@Failure		default	{object}	Problem
//	@Router			/v1/feedback [post]
func (f feedbackRoutes) addBelowV1(ctx context.Context, in feedbackRequest) (given, error) {
	return f.add(ctx, in)
}

// list shows the collections.
//
//	@Summary		List collections of feedback
//	@Description	Lists the collections of feedback of the tenant, by name.
//	@ID				listFeedback
//	@Tags			feedback
//	@Produce		json
//	@Param			limit	query		int		false	"collections in a page"	minimum(1)	maximum(100)	default(20)
//	@Param			after	query		string	false	"last_id of the page before"
//	@Success		200		{object}	page[feedback.Collection]
//	@Failure		default	{object}	Problem
//	@Router			/feedback [get]
func (f feedbackRoutes) list(ctx context.Context, in paging) (page[feedback.Collection], error) {
	if err := in.check(); err != nil {
		return page[feedback.Collection]{}, err
	}
	all, err := f.store.List(ctx, callerIn(ctx).tenant())
	if err != nil {
		return page[feedback.Collection]{}, err
	}
	name := func(c feedback.Collection) string { return c.Name }
	return cut(all, in, name, byName(name))
}

// collectionRequest names a collection.
type collectionRequest struct {
	Collection string `json:"-" path:"collection"`
}

// get counts what is in a collection.
//
//	@Summary		Count a collection of feedback
//	@Description	Counts the rows of a collection: how many different texts and labels there are, and how often which version was right.
//	@ID				getFeedback
//	@Tags			feedback
//	@Produce		json
//	@Param			collection	path	string	true	"the collection"
//	@Success		200		{object}	feedback.Summary
//	@Failure		default	{object}	Problem
//	@Router			/feedback/{collection} [get]
func (f feedbackRoutes) get(ctx context.Context, in collectionRequest) (feedback.Summary, error) {
	return f.store.Summary(ctx, callerIn(ctx).tenant(), in.Collection)
}

// remove deletes a collection.
//
//	@Summary		Delete a collection of feedback
//	@Description	Deletes a collection with its rows. Data sets that were made of it stay.
//	@ID				deleteFeedback
//	@Tags			feedback
//	@Param			collection	path	string	true	"the collection"
//	@Success		204		"deleted"
//	@Failure		default	{object}	Problem
//	@Router			/feedback/{collection} [delete]
func (f feedbackRoutes) remove(ctx context.Context, in collectionRequest) (none, error) {
	return none{}, f.store.Delete(ctx, callerIn(ctx).tenant(), in.Collection)
}

// feedbackRowsRequest asks for a page of a collection.
type feedbackRowsRequest struct {
	Collection string `json:"-" path:"collection"`
	paging
}

// rows shows the rows of a collection.
//
//	@Summary		List rows of feedback
//	@Description	Lists the rows of a collection, the newest first, with what was told of the answers and the key that sent them.
//	@ID				listFeedbackRows
//	@Tags			feedback
//	@Produce		json
//	@Param			collection	path	string	true	"the collection"
//	@Param			limit	query		int		false	"rows in a page"	minimum(1)	maximum(100)	default(20)
//	@Param			after	query		string	false	"last_id of the page before"
//	@Success		200		{object}	page[given]
//	@Failure		default	{object}	Problem
//	@Router			/feedback/{collection}/rows [get]
func (f feedbackRoutes) rows(ctx context.Context, in feedbackRowsRequest) (page[given], error) {
	if err := in.check(); err != nil {
		return page[given]{}, err
	}
	entries, more, err := f.store.Rows(ctx, callerIn(ctx).tenant(), in.Collection, in.After, in.Limit)
	if err != nil {
		return page[given]{}, err
	}
	views := make([]given, len(entries))
	for i, e := range entries {
		views[i] = given(e)
	}
	return pageOf(views, more, func(g given) string { return g.ID }), nil
}

// feedbackRowRequest names a row.
type feedbackRowRequest struct {
	Collection string `json:"-" path:"collection"`
	ID         string `json:"-" path:"id"`
}

// removeRow deletes a row.
//
//	@Summary		Delete a row of feedback
//	@Description	Deletes one row of a collection. Data sets that were made with it keep it.
//	@ID				deleteFeedbackRow
//	@Tags			feedback
//	@Param			collection	path	string	true	"the collection"
//	@Param			id	path	string	true	"the row"
//	@Success		204		"deleted"
//	@Failure		default	{object}	Problem
//	@Router			/feedback/{collection}/rows/{id} [delete]
func (f feedbackRoutes) removeRow(ctx context.Context, in feedbackRowRequest) (none, error) {
	return none{}, f.store.DeleteRow(ctx, callerIn(ctx).tenant(), in.Collection, in.ID)
}

// makeDatasetRequest says what goes into a data set beside the feedback.
type makeDatasetRequest struct {
	Collection string `json:"-" path:"collection" swaggerignore:"true"`
	With       string `json:"with,omitempty" example:"ds_9f86d081884c7d659a2f"` // a data set whose rows come first; those that ask what a row of the feedback asks give way to it
	Name       string `json:"name,omitempty" example:"mood, corrected"`         // default the collection's and "(feedback)"
	Clear      bool   `json:"clear,omitempty" default:"false"`                  // take these rows out of the collection, now that the data set has them
} // @name FeedbackDatasetRequest

// dataset makes a data set of a collection.
//
//	@Summary		Make a data set of feedback
//	@Description	Makes a data set of the rows of a collection so far, alone or together with another data set: with corrects and completes that one. Where several rows ask the same, letter by letter, the latest by the clock of the service that took it is in it. It is an ordinary data set with the report of an upload; `feedback` in it tells what it was made of. Made of the same rows again it is the same data set (200 instead of 201). Rows that arrive meanwhile are for the next one, also with clear.
//	@ID				createFeedbackDataset
//	@Tags			feedback
//	@Accept			json
//	@Produce		json
//	@Param			collection	path	string	true	"the collection"
//	@Param			request		body	makeDatasetRequest	true	"what goes into it"
//	@Success		201		{object}	datasets.Dataset
//	@Success		200		{object}	datasets.Dataset	"there is this data set already"
//	@Failure		default	{object}	Problem
//	@Router			/feedback/{collection}/datasets [post]
func (f feedbackRoutes) dataset(ctx context.Context, in makeDatasetRequest) (createdDataset, error) {
	m := feedback.Making{Name: in.Name, Clear: in.Clear}
	if err := checkLabel("name", in.Name); err != nil {
		return createdDataset{}, err
	}
	if in.With != "" {
		with, err := f.sets.Get(ctx, in.With)
		if errors.Is(err, datasets.ErrNotFound) {
			err = errors.Join(err, invalid.Field("with", "%v", err))
		}
		if err != nil {
			return createdDataset{}, err
		}
		m.With = &with
	}
	set, created, err := f.store.Dataset(ctx, callerIn(ctx).tenant(), in.Collection, m)
	if err != nil {
		return createdDataset{}, err
	}
	note(ctx, slog.String("dataset", set.ID), slog.Int("rows", set.Rows))
	return createdDataset{set, created}, nil
}
