"""Where the settings of training were before they moved to `posemamba.training`."""

import warnings


def __getattr__(name: str):
    if name in ("TrainingConfig", "MILLIMETRES_PER_UNIT", "PRECISIONS"):
        from posemamba.training import config

        warnings.warn(
            f"posemamba.configs.{name} is now posemamba.training.config.{name}",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(config, name)
    raise AttributeError(f"module 'posemamba.configs' has no attribute {name!r}")
