package routes

// What swag writes at the head of the document. `go generate ./openapi` reads this
// and the comments above the handlers.

//	@title			Lorikeet
//	@version		1
//	@description	Serves a frozen base model with hot-swapped LoRA adapters, and tunes new ones from HTTP requests.
//	@description
//	@description	An adapter is a named series of immutable versions: `imdb` is its current version, `imdb@3` that one. An unknown name is 404, never a silent fall back to the base. Every error has one body, a problem of RFC 9457 with the `error` object of the OpenAI API.
//	@description
//	@description	Where the service listens to more than its own machine, requests carry an API key: `Authorization: Bearer lk_…`, or `X-API-Key`. A key has a scope (predict, tune, admin or metrics) and a tenant: jobs and data sets of another tenant are 404.
//	@license.name	Apache-2.0
//	@license.url	https://www.apache.org/licenses/LICENSE-2.0
//	@BasePath		/
//	@tag.name			inference
//	@tag.description	Answers from models
//	@tag.name			tuning
//	@tag.description	Fine-tunes and their jobs
//	@tag.name			datasets
//	@tag.description	Rows to tune on
//	@tag.name			feedback
//	@tag.description	What applications learnt of answers, to tune on
//	@tag.name			adapters
//	@tag.description	What is served
//	@tag.name			keys
//	@tag.description	Who may ask
//	@tag.name			service
//	@tag.description	The service itself
