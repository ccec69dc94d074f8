package routes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"

	"lorikeet/adapters"
)

// passport tells all that is known of a version.
//
//	@Summary		Passport of a version
//	@Description	Tells what a version was made from: the fingerprint of its base (configuration and weights, tokenizer), labels, prompt template, the digests of the rows it was taught with and measured on, hyperparameters, metrics, the job and the files. A version whose fingerprint is not the loaded base's is refused with 422. The same as a model card of the hub's form: the file README.md of the version.
//	@ID				getAdapterPassport
//	@Tags			adapters
//	@Produce		json
//	@Param			name	path		string	true	"the adapter"
//	@Param			v		path		int		true	"the version"	minimum(1)
//	@Success		200		{object}	adapters.Passport
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v}/passport [get]
func (a adapterRoutes) passport(ctx context.Context, in versionRequest) (adapters.Passport, error) {
	v, err := a.find(ctx, in)
	if err != nil {
		return adapters.Passport{}, err
	}
	return v.Passport(), nil
}

// rendered is a file that is made when it is asked for.
type rendered struct{ *bytes.Reader }

func (rendered) Close() error { return nil }

// cardOf is a version's model card as one of its files.
func cardOf(v adapters.Version) (rendered, adapters.File) {
	text := v.Card()
	sum := sha256.Sum256(text)
	return rendered{bytes.NewReader(text)}, adapters.File{Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(text))}
}
