"""The persona endpoints as a plain FastAPI + SQLAlchemy service, written as their documentation
teaches it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import String, cast, func, or_, select
from sqlalchemy.orm import Session

from benchmarks.peers.fastapi_app.models import Persona, SessionLocal, User

SECRET = os.environ.get("PEER_SECRET", "")
app = FastAPI()
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="/api/auth/login")


class PersonaIn(BaseModel):
    name: str = Field(min_length=1, max_length=100)
    description: str = Field("", max_length=500)
    style_prompt: str = Field(min_length=1, max_length=1000)
    negative_prompt: str = Field("", max_length=1000)
    lora_models: list[str] = []
    generation_params: dict[str, Any] = {}
    tags: list[str] = []
    is_favorite: bool = False
    is_nsfw: bool = False
    avatar_url: str | None = None


class PersonaOut(PersonaIn):
    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: datetime
    updated_at: datetime


def get_session() -> Iterator[Session]:
    with SessionLocal() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]


def get_current_user(token: Annotated[str, Depends(oauth2_scheme)], session: SessionDep) -> User:
    unauthorized = HTTPException(
        401, "Could not validate credentials", headers={"WWW-Authenticate": "Bearer"}
    )
    try:
        payload = jwt.decode(token, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise unauthorized from None
    user = session.get(User, int(payload["sub"]))
    if user is None or not user.is_active:
        raise unauthorized
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


@app.get("/api/personas", response_model=list[PersonaOut])
def list_personas(
    response: Response,
    session: SessionDep,
    user: CurrentUser,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0)] = 0,
    search: Annotated[str | None, Query(max_length=100)] = None,
    is_favorite: bool | None = None,
    include_nsfw: bool = False,
) -> Any:
    query = select(Persona).where(Persona.user_id == user.id)
    if not include_nsfw:
        query = query.where(Persona.is_nsfw.is_(False))
    if is_favorite is not None:
        query = query.where(Persona.is_favorite.is_(is_favorite))
    for word in (search or "").split():
        like = f"%{word}%"
        query = query.where(
            or_(
                Persona.name.ilike(like),
                Persona.description.ilike(like),
                Persona.style_prompt.ilike(like),
                cast(Persona.tags, String).ilike(like),
            )
        )
    total = session.scalar(select(func.count()).select_from(query.subquery()))
    response.headers["X-Total-Count"] = str(total)
    ordered = query.order_by(Persona.created_at.desc(), Persona.id.desc())
    return session.scalars(ordered.limit(limit).offset(offset)).all()


@app.get("/api/personas/{persona_id}", response_model=PersonaOut)
def read_persona(persona_id: int, session: SessionDep, user: CurrentUser) -> Any:
    persona = session.get(Persona, persona_id)
    if persona is None or persona.user_id != user.id:
        raise HTTPException(404, "Persona not found")
    return persona


@app.post("/api/personas", response_model=PersonaOut, status_code=201)
def create_persona(body: PersonaIn, session: SessionDep, user: CurrentUser) -> Any:
    persona = Persona(user_id=user.id, **body.model_dump())
    session.add(persona)
    session.commit()
    session.refresh(persona)
    return persona


@app.get("/api/health")
def health() -> dict[str, str]:
    return {"status": "ok"}
