package routes

// small is how large the JSON of the operations may be that take a few fields. The
// others, which take texts or rows, have Limits.JSON.
const small = 64 << 10

var smallBodies = map[string]bool{
	"POST /adapters":                 true, // as JSON; a form has Limits.Adapter
	"POST /adapters/{name}/rollback": true,
	"POST /keys":                     true,

	"POST /feedback":                       true,
	"POST /v1/feedback":                    true,
	"POST /feedback/{collection}/datasets": true,

	"POST /v1/webhook_endpoints":                                     true,
	"POST /v1/webhook_endpoints/{webhook_endpoint_id}":               true,
	"POST /v1/webhook_endpoints/{webhook_endpoint_id}/rotate_secret": true,
	"POST /v1/webhook_endpoints/{webhook_endpoint_id}/test":          true,
}

// limits are those of one operation.
func (o operation) limits(l Limits) Limits {
	if smallBodies[o.method+" "+o.path] {
		l.JSON = min(l.JSON, small)
	}
	return l
}

// mostFree is how many values, objects and lists counted too, the free-form part of a
// request may hold: two bytes of JSON become a hundred of Go, so that the size of the
// body alone does not bound them.
const mostFree = 10_000
