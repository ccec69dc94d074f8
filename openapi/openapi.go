// Package openapi holds the specification of the HTTP API, and the page that shows
// it.
//
// The comments above the handlers of package routes are the source. swag makes
// swagger.json (OpenAPI 2.0) of them, which is committed; at start it is converted
// to 3.0.3 and finished with what 2.0 cannot say: one field with several types,
// bodies with several content types, event streams, and the errors and examples of
// every operation. Tests in this package and in routes keep all of it from drifting.
package openapi

import (
	_ "embed" // for the files below
	"encoding/json"
	"fmt"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
)

//go:generate go run github.com/swaggo/swag/cmd/swag@v1.16.6 init --quiet --dir ../routes,../tuning,../adapters --generalInfo document.go --overridesFile overrides.swaggo --output . --outputTypes json --requiredByDefault

//go:embed swagger.json
var swagger []byte

// JSON is the finished specification. scopes maps "GET /path" to the scope that a
// key needs for that operation; it may be nil.
func JSON(scopes map[string]string) ([]byte, error) {
	tidied, err := tidy(swagger)
	if err != nil {
		return nil, fmt.Errorf("swagger.json: %w", err)
	}
	var two openapi2.T
	if err := json.Unmarshal(tidied, &two); err != nil {
		return nil, fmt.Errorf("swagger.json: %w", err)
	}
	doc, err := openapi2conv.ToV3(&two)
	if err != nil {
		return nil, fmt.Errorf("convert to OpenAPI 3: %w", err)
	}
	if err := finish(doc, scopes); err != nil {
		return nil, err
	}
	return doc.MarshalJSON()
}
