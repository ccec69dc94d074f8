// A tour of a running service with the Go client. LORIKEET_URL names the service, whose
// bases must be tiny-bert and tiny-t5, with an adapter called sentiment.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"lorikeet/openapi/client"
)

func main() {
	if err := tour(context.Background(), os.Getenv("LORIKEET_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
}

func tour(ctx context.Context, url string) error {
	c, err := client.NewClientWithResponses(url)
	if err != nil {
		return err
	}
	bert, t5, sentiment := "tiny-bert", "tiny-t5", "sentiment"
	var texts client.PredictRequest_Inputs
	if err := texts.FromPredictRequestInputs0("The waiter was charming and the dessert was superb."); err != nil {
		return err
	}
	predicted, err := c.PredictWithResponse(ctx, nil, client.PredictRequest{Model: &bert, Adapter: &sentiment, Inputs: texts})
	if err != nil {
		return err
	}
	if predicted.JSON200 == nil || *predicted.JSON200.Results[0].Label != "positive" {
		return fmt.Errorf("predict: %s", predicted.Body)
	}
	instruction, input := "Translate to Spanish.", "The cat is black."
	wrote, err := c.GenerateWithResponse(ctx, nil, client.GenerateRequest{Model: &t5, Instruction: &instruction, Input: &input})
	if err != nil {
		return err
	}
	if wrote.JSON200 == nil || wrote.JSON200.Text == "" {
		return fmt.Errorf("generate: %s", wrote.Body)
	}
	rows := []map[string]any{{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}}
	dry := true
	plan, err := c.TuneLoraWithResponse(ctx, &client.TuneLoraParams{DryRun: &dry}, client.TuneRequest{Model: bert, Name: "go-dry", Dataset: client.RowSource{Rows: &rows}})
	if err != nil {
		return err
	}
	if plan.JSON200 == nil || plan.JSON200.Rows != 2 {
		return fmt.Errorf("dry run: %s", plan.Body)
	}
	jobs, err := c.ListJobsWithResponse(ctx, nil)
	if err != nil {
		return err
	}
	if jobs.JSON200 == nil || len(jobs.JSON200.Data) == 0 {
		return fmt.Errorf("jobs: %s", jobs.Body)
	}
	nobody := "nobody@9"
	problem, err := c.PredictWithResponse(ctx, nil, client.PredictRequest{Model: &bert, Adapter: &nobody, Inputs: texts})
	if err != nil {
		return err
	}
	if p := problem.ApplicationproblemJSONDefault; problem.StatusCode() != http.StatusNotFound || p == nil || p.Code != "adapter_not_found" {
		return fmt.Errorf("an error: %s", problem.Body)
	}
	fmt.Printf("Go: predicted %s, wrote %q, planned %d steps, saw %d jobs and an error\n",
		*predicted.JSON200.Results[0].Label, wrote.JSON200.Text, plan.JSON200.Steps, len(jobs.JSON200.Data))
	return nil
}
