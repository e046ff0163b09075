"""The stages of the pipeline: each reads its inputs, calls the library and writes its outputs."""
