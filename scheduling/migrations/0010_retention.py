"""What retention asks for: who names a run, an event or a key, and what a task keeps."""

import datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('scheduling', '0009_redriven'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='run',
            name='run_event_unique',
        ),
        migrations.AddField(
            model_name='task',
            name='keep_for',
            field=models.DurationField(blank=True, help_text='How long ended runs are kept; empty: as the settings say.', null=True),
        ),
        migrations.AddField(
            model_name='task',
            name='keep_runs',
            field=models.PositiveIntegerField(blank=True, help_text='At most so many newest runs are kept; empty: however many.', null=True),
        ),
        migrations.AddIndex(
            model_name='dedupekey',
            index=models.Index(models.F('run'), name='dedupe_key_run_idx'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(models.F('parent'), condition=models.Q(('parent__isnull', False)), name='run_parent_idx'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(models.F('replay_of'), condition=models.Q(('replay_of__isnull', False)), name='run_replay_idx'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(models.F('id'), condition=models.Q(('keep_runs__isnull', False), ('keep_for__isnull', False), _connector='OR'), name='task_keeps_idx'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.UniqueConstraint(condition=models.Q(('event__isnull', False)), fields=('event', 'schedule'), name='run_event_unique'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('keep_runs', None), ('keep_runs__gt', 0), _connector='OR'), models.Q(('keep_for', None), ('keep_for__gt', datetime.timedelta(0)), _connector='OR')), name='task_keeps_something'),
        ),
    ]
