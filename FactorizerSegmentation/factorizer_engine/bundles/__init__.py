"""Model bundles: read, verify, install, import and write them. Nothing in a bundle is executed.

The entry points are `loading.load_bundle`, `saving.save_bundle`, `registry.resolve_model` and
`importing.import_checkpoint`.
"""
