package routes

import (
	"context"
	"mime"
	"net/http"

	"lorikeet/inference"
)

// folderFile is a model on its way out, as a tar file.
type folderFile struct{ *inference.Merged }

// merged gives a version out as a model of its own.
//
//	@Summary		Download a version merged with its base
//	@Description	Gives out the base with the adapter folded into its weights, as a tar file of a Hugging Face folder: config.json with the adapter's labels, the tokenizer's files, model.safetensors in float32, a model card. transformers gives the same logits for it without PEFT, and it can be served as a base here. It is made while it is sent. Adapters with LoRA on an embedding, or on an output layer tied to one, are refused.
//	@ID				getMergedAdapter
//	@Tags			adapters
//	@Produce		application/x-tar
//	@Param			name	path		string	true	"the adapter"
//	@Param			v		path		int		true	"the version"	minimum(1)
//	@Success		200		{file}		file	"the folder"
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v}/merged [get]
func (a adapterRoutes) merged(ctx context.Context, in versionRequest) (folderFile, error) {
	v, err := a.find(ctx, in)
	if err != nil {
		return folderFile{}, err
	}
	if err := a.engine.Ready(); err != nil {
		return folderFile{}, err
	}
	m, err := a.engine.Merged(ctx, v)
	return folderFile{m}, err
}

func (f folderFile) write(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name() + ".tar"}))
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return f.Write(w)
}
