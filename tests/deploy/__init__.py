"""The container files and the documents, held against the code that they speak of."""
