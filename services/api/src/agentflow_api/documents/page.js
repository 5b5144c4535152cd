// validatorUrl: no validator elsewhere is asked. A credential is kept until the page is left.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  validatorUrl: null,
  persistAuthorization: false,
  tryItOutEnabled: false,
  docExpansion: "none",
});
