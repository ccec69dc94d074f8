import java.util.List;
import java.util.Map;
import lorikeet.ApiClient;
import lorikeet.ApiException;
import lorikeet.api.InferenceApi;
import lorikeet.api.TuningApi;
import lorikeet.model.*;

/**
 * A tour of a running service with the Java client that openapi-generator makes of its
 * document. LORIKEET_URL names the service; see go/main.go.
 */
public class Tour {
  static void check(String what, boolean ok, Object seen) {
    if (!ok) {
      System.err.println("FAILED: " + what + ": " + seen);
      System.exit(1);
    }
  }

  public static void main(String[] args) throws Exception {
    ApiClient client = new ApiClient().setBasePath(System.getenv("LORIKEET_URL"));
    client.setReadTimeout(120_000);
    InferenceApi inference = new InferenceApi(client);
    TuningApi tuning = new TuningApi(client);

    PredictRequestInputs text = new PredictRequestInputs("The waiter was charming and the dessert was superb.");
    Prediction predicted = inference.predict(new PredictRequest().model("tiny-bert").adapter("sentiment").inputs(text), null, null);
    String label = predicted.getResults().get(0).getLabel();
    check("predict", label.equals("positive"), predicted);

    Generation wrote = inference.generate(new GenerateRequest().model("tiny-t5").instruction("Translate to Spanish.").input("The cat is black."), null, null);
    check("generate", !wrote.getText().isEmpty(), wrote);

    RowSource rows = new RowSource().rows(List.of(Map.of("text", "good", "label", "yes"), Map.of("text", "bad", "label", "no")));
    Plan plan = tuning.tuneLora(new TuneRequest().model("tiny-bert").name("java-dry").dataset(rows), true, null);
    check("dry run", plan.getRows() == 2, plan);

    JobPage jobs = tuning.listJobs(null, 5L, null);
    check("jobs", !jobs.getData().isEmpty(), jobs);

    try {
      inference.predict(new PredictRequest().model("tiny-bert").adapter("nobody@9").inputs(text), null, null);
      check("an error", false, "none");
    } catch (ApiException e) {
      Problem problem = Problem.fromJson(e.getResponseBody());
      check("an error", e.getCode() == 404 && problem.getCode().equals("adapter_not_found"), e.getResponseBody());
    }
    System.out.printf("Java: predicted %s, wrote '%s', planned %d steps, saw %d jobs and an error%n", label, wrote.getText(), plan.getSteps(), jobs.getData().size());
    System.exit(0); // the client's threads would stay for a minute
  }
}
