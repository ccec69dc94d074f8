package routes

import (
	"context"
	"log/slog"

	"lorikeet/adapters/store"
	"lorikeet/tuning/datasets"
)

// doctor is the part of the dataset service that looks after rows.
type doctor interface {
	Doctor(ctx context.Context, id, validation string) (datasets.Examination, error)
	Clean(ctx context.Context, id string, how datasets.Cleaning) (d datasets.Dataset, created bool, err error)
	OpenQuarantine(ctx context.Context, id string) (store.Blob, datasets.Quarantine, error)
}

// examineRequest names a data set, and the one whose rows must not be in it.
type examineRequest struct {
	ID         string `json:"-" path:"id"`
	Validation string `json:"-" query:"validation"`
}

// examine looks through a data set.
//
//	@Summary		Examine a data set
//	@Description	Looks through the rows of a data set for what a check of single rows cannot see: rows that are there twice, letter by letter, but for case and punctuation, or nearly (MinHash of runs of three words, from a similarity of 0.85 on); texts with contradictory labels; rows that are among the validation rows; empty texts and answers; damaged characters; rows that are far longer than the others; uneven and rare labels. Row numbers count from 1. The first million rows are looked through, of them 100,000 compared by their words.
//	@ID				examineDataset
//	@Tags			datasets
//	@Produce		json
//	@Param			id			path		string	true	"the data set"
//	@Param			validation	query		string	false	"a data set to validate with, whose rows must not be in this one"
//	@Success		200			{object}	datasets.Examination
//	@Failure		default	{object}	Problem
//	@Router			/datasets/{id}/doctor [get]
func (d datasetRoutes) examine(ctx context.Context, in examineRequest) (datasets.Examination, error) {
	return d.store.Doctor(ctx, in.ID, in.Validation)
}

// cleanRequest says which rows to leave out.
type cleanRequest struct {
	ID         string   `json:"-" path:"id" swaggerignore:"true"`
	Drop       []string `json:"drop,omitempty" example:"duplicate,normalised,contradiction"` // what a row must not have; default duplicate, normalised, contradiction, leakage, empty, encoding; there are also near_duplicate and length
	Validation string   `json:"validation,omitempty" example:"ds_2c26b46b68ffc68ff99b"`      // a data set whose rows must not be in this one
	Name       string   `json:"name,omitempty" example:"reviews, cleaned"`
} // @name CleanRequest

// clean makes a data set of the sound rows.
//
//	@Summary		Clean a data set
//	@Description	Makes a new data set of the rows that have none of the ailments to drop, and keeps the others in quarantine: GET /datasets/{id}/quarantine of the new one gives them out, each with its row number and its reasons. Of a contradiction all rows are left out. Where there is nothing to leave out, the data set itself is the answer (200 instead of 201).
//	@ID				cleanDataset
//	@Tags			datasets
//	@Accept			json
//	@Produce		json
//	@Param			id		path		string			true	"the data set"
//	@Param			request	body		cleanRequest	true	"what to leave out"
//	@Success		201		{object}	datasets.Dataset
//	@Success		200		{object}	datasets.Dataset	"nothing had to be left out, or this was done before"
//	@Failure		default	{object}	Problem
//	@Router			/datasets/{id}/clean [post]
func (d datasetRoutes) clean(ctx context.Context, in cleanRequest) (createdDataset, error) {
	if err := checkLabel("name", in.Name); err != nil {
		return createdDataset{}, err
	}
	set, created, err := d.store.Clean(ctx, in.ID, datasets.Cleaning{Drop: in.Drop, Validation: in.Validation, Name: in.Name})
	if err != nil {
		return createdDataset{}, err
	}
	note(ctx, slog.String("dataset", set.ID), slog.Int("rows", set.Rows))
	return createdDataset{set, created}, nil
}

// quarantine gives out what was left out.
//
//	@Summary		Download what was left out
//	@Description	Gives out the rows that were left out of a cleaned data set, as JSON lines: {"row": 17, "reasons": ["duplicate"], "data": {"text": …, "label": …}}.
//	@ID				getQuarantine
//	@Tags			datasets
//	@Produce		application/x-ndjson
//	@Param			id	path		string	true	"the cleaned data set"
//	@Success		200	{file}		file	"the rows"
//	@Failure		default	{object}	Problem
//	@Router			/datasets/{id}/quarantine [get]
func (d datasetRoutes) quarantine(ctx context.Context, in datasetRequest) (storedFile, error) {
	blob, q, err := d.store.OpenQuarantine(ctx, in.ID)
	if err != nil {
		return storedFile{}, err
	}
	return storedFile{blob: blob, name: in.ID + "-quarantine.jsonl", digest: q.Digest}, nil
}
