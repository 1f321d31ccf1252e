"""
Run queries, and print the rows of the last one as a line of JSON:

    python -m app.rows QUERY...
"""

import json
import sys

import django
from django.db import connection


def main(queries):
    django.setup()
    with connection.cursor() as cursor:
        for query in queries:
            cursor.execute(query)
        print(json.dumps(cursor.fetchall() if cursor.description else []))


if __name__ == "__main__":
    main(sys.argv[1:])
