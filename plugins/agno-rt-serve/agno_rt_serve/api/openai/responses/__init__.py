"""The format of responses, `/v1/responses`, by OpenAI's API and the Open Responses specification."""
