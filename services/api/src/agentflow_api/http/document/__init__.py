"""How the OpenAPI document says what each operation takes and answers."""
