// Shows the API's own OpenAPI document. A key stays in the memory of the page, and no document is sent to a validator.

// A field without a default starts empty instead of with a made-up value, which the API would refuse.
const fieldsStartEmpty = {
  afterLoad() {
    const { getSampleSchema } = this.fn;
    this.fn.getSampleSchema = (schema, mediaType, ...others) => {
      if (mediaType !== false) {
        return getSampleSchema(schema, mediaType, ...others); // a whole body, shown as an example
      }
      const field = typeof schema?.toJS === "function" ? schema.toJS() : (schema ?? {});
      return field.default ?? (field.type === "array" ? Array(field.minItems ?? 0).fill("") : "");
    };
  },
};

// What was left empty is not sent; Swagger UI would send an empty file named "blob" for a file that nobody chose.
const sendNothingEmpty = (request) => {
  if (request.body instanceof FormData) {
    for (const name of new Set(request.body.keys())) {
      if (request.body.getAll(name).every((value) => value === "" || value.size === 0)) {
        request.body.delete(name);
      }
    }
  }
  return request;
};

SwaggerUIBundle({
  url: "v1/openapi.json",
  dom_id: "#operations",
  plugins: [fieldsStartEmpty],
  requestInterceptor: sendNothingEmpty,
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
});
