// Package client is a Go client of the HTTP API, made of its specification by
// oapi-codegen. NewClientWithResponses makes one; each operation has a method that ends
// in WithResponse, whose answer holds the decoded body of a success (JSON200, …) or a
// Problem (ApplicationproblemJSONDefault).
//
//	c, err := client.NewClientWithResponses("http://localhost:8080")
//	answer, err := c.PredictWithResponse(ctx, nil, client.PredictRequest{Model: &model, Inputs: inputs})
//
// The routes below /v1 are left out: they are OpenAI's, whose own client speaks to them.
package client

//go:generate go run generate.go .
