"""How far retention has come, and who names an artifact."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('scheduling', '0010_retention'),
        ('workers', '0003_truth'),
    ]

    operations = [
        migrations.CreateModel(
            name='Retention',
            fields=[
                ('kind', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('cursor', models.CharField(blank=True, help_text='Where the walk goes on; empty: at the beginning.', max_length=64)),
                ('lap_start', models.CharField(blank=True, help_text='Where the next lap begins: nothing is before.', max_length=64)),
                ('lap_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('is_resting', models.BooleanField(default=True, help_text='The lap has come to what is too young.')),
                ('turn_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('turn_host', models.CharField(max_length=120)),
                ('turn_deleted', models.PositiveIntegerField(default=0)),
                ('turn_seconds', models.FloatField(default=0)),
                ('deleted_count', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'verbose_name_plural': 'retention',
            },
        ),
        migrations.AddIndex(
            model_name='steprun',
            index=models.Index(models.F('output_artifact'), condition=models.Q(('output_artifact', ''), _negated=True), name='step_run_artifact_idx'),
        ),
    ]
