"""Its models, which nobody wrote."""

from django.contrib import admin
from django.db import models

MODELS = 300


def _model(number):
    name = f"Model{number}"
    fields = {
        "name": models.CharField(max_length=100),
        "text": models.TextField(blank=True),
        "created": models.DateTimeField(auto_now_add=True),
        "number": models.IntegerField(default=0),
        "user": models.ForeignKey("auth.User", models.CASCADE, related_name="+"),
    }
    return type(name, (models.Model,), {"__module__": __name__, **fields})


for number in range(MODELS):
    admin.site.register(_model(number))
