from tests.contract.sandbox.conftest import discords_description, sandbox, tap

__all__ = ["discords_description", "sandbox", "tap"]
