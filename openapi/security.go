package openapi

import "github.com/getkin/kin-openapi/openapi3"

// open is the scope of operations that take no key.
const open = "open"

// schemes are the two ways to send a key.
func schemes() openapi3.SecuritySchemes {
	const about = " Made with \"service keys create\" or POST /keys. A service that listens on loopback alone takes requests without."
	return openapi3.SecuritySchemes{
		"bearer": &openapi3.SecuritySchemeRef{Value: &openapi3.SecurityScheme{Type: "http", Scheme: "bearer", BearerFormat: "lk_…",
			Description: "An API key, as OpenAI clients send it." + about}},
		"header": &openapi3.SecuritySchemeRef{Value: &openapi3.SecurityScheme{Type: "apiKey", In: "header", Name: "X-API-Key",
			Description: "An API key, where Authorization is a proxy's." + about}},
	}
}

// secure says what key an operation takes. OpenAPI 3.0 knows scopes of OAuth alone, so
// that of a key is an extension.
func secure(op *openapi3.Operation, scope string) {
	if scope == "" {
		return
	}
	op.Extensions = map[string]any{"x-scope": scope}
	op.Security = openapi3.NewSecurityRequirements()
	if scope == open {
		return
	}
	op.Security.With(openapi3.NewSecurityRequirement().Authenticate("bearer")).
		With(openapi3.NewSecurityRequirement().Authenticate("header"))
}
