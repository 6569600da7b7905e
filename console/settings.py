"""Settings of the console; ``start_app.py`` has a flag for each."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from fastener.common.errors import UserError
from fastener.common.settings import Section

_PICTURES = Path("outputs/console/pictures")


class ConsoleSettings(Section):
    """Settings of one service: folders of models and pictures, the database, and limits.

    The description of each field states its meaning, unit and range.
    """

    models: Path = Field(Path("saved_models"), description="folder of models; a model's category is its path there")
    database: str = Field(
        "sqlite:///outputs/console/history.db", description="URL of the history: sqlite:///FILE or postgresql://..."
    )
    pictures: Path | None = Field(
        None, description=f"folder of inspected images; default: beside the SQLite file, else {_PICTURES}"
    )
    max_upload_mb: float = Field(25.0, gt=0, le=2048, description="largest request, in MiB; above 0 to 2048")
    queue_size: int = Field(
        64, ge=1, le=4096, description="images inspected or waiting at a time, more are refused with 503; 1 to 4096"
    )
    batch_size: int = Field(16, ge=1, le=1024, description="most images per forward pass; 1 to 1024")
    model_memory_mb: int = Field(
        4096, ge=1, description="memory for loaded models in MiB, beyond it the least recently used go; 1 or more"
    )
    retention_days: int | None = Field(
        None, ge=1, le=36500, description="days that images are kept after their last inspection; default: for ever"
    )
    no_part: Literal["fail", "ignore"] = Field(
        "fail", description="what a photo without a part counts as in figures: fail (the default) or ignore"
    )
    token: SecretStr | None = Field(
        None,
        min_length=1,
        description="password for everything but /health; of at least 8 characters where other machines are let in; "
        "default: $CONSOLE_TOKEN, else none",
    )

    @property
    def pictures_folder(self) -> Path:
        """Folder of the images. Raises UserError if ``database`` is not a URL."""
        if self.pictures is not None:
            return self.pictures
        try:
            url = make_url(self.database)
        except ArgumentError:
            raise UserError("--database is not a URL; write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
        if url.get_backend_name() == "sqlite" and url.database:
            file = Path(url.database)
            return file.with_name(f"{file.stem}-pictures")
        return _PICTURES
